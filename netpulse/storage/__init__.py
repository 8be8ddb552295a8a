"""All that is kept on disk: the one place that speaks SQLite.

`db` is the open main file, `opening` opens it, `directory` and `lock` guard the data directory;
every noun has a module of functions whose first argument is a `Conn`.
"""
