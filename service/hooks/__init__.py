"""How messages leave for webhooks: where they may go, how they are signed, how they are posted, and who does that when."""
