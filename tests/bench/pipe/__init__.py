"""URL → SeaweedFS through the storage service, against curl putting the same file there."""
