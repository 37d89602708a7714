"""Sign-in through doorward with accounts at real identity providers."""
