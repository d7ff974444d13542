"""Files to what stands in them: lines, rounds, and what to call clients."""
