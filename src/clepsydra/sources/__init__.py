"""Where raw rows come from: files, HTTP APIs, databases. Every reader gives text cells."""
