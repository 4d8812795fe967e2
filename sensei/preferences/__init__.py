"""The data set: which frames are compared, what was answered, and how good the answers are."""
