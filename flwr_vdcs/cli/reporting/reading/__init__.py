"""Files to what stands in them: rounds, decisions, histories and names."""
