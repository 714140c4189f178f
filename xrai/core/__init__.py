"""Core: errors, paths, JSON files, jobs, class labels and languages; imports nothing of XRAI."""
