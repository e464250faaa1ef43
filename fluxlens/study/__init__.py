"""The study: from the cells of the paper's tables to pictures on disk, resumable and shared out."""
