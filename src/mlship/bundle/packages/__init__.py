"""What a bundle runs on: packages resolved, hash-locked, unpacked and tried, for each platform."""
