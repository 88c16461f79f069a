"""What “manage.py doctor” looks at, a module for each subject.

Everything is only read, in short statements, and nobody who is at work notices.
"""
