"""The sections of a study, one file each: every key is known, described and checked before the first job starts."""
