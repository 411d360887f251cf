"""The only room with torch: what a spec becomes, how it is trained, and how a run is saved, resumed and reported."""
