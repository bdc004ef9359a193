"""How bytes get into a tier: from the claim of a slot to the commit of an object."""
