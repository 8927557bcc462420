"""Faults for real peers: processes killed, stopped, cut off and filled up while rounds run, and the proof from what they left behind."""
