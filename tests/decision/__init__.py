"""Who is dropped, and how long an update may be."""
