"""What one database carries: bytes of a job, work of a query, and a thousand fake workers on the real store."""
