"""The process that opens media files of strangers: confined, and reading only what it asks its parent for.

Nothing else of storage imports av or Pillow, and its parent imports nothing of this package but `protocol`.
"""
