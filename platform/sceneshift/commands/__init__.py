"""The command lines: the only room that prints, parses, reads ``sys.argv`` and sets exit statuses."""
