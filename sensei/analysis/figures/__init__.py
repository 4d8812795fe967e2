"""The figures of a study, one file each, drawn from finished artefacts only; `bars` and `curves` are what several of them draw with."""
