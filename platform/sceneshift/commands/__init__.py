"""The command lines: the only room that prints, parses arguments, reads ``sys.argv`` and sets exit statuses."""
