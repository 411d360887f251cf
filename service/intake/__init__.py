"""What an uploaded file holds: a program of its own, since what strangers send is opened there, under limits, and not in the API.

`python -m service.intake FILE FOLDER LIMITS` reads FILE, writes the data set in its canonical form into FOLDER, and prints a verdict
as JSON: what was found, or what is wrong. Nothing in here may be imported by the rest of the service.
"""
