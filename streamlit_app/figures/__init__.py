"""Pure functions from a picture of the swarm to charts (ECharts options), tables (columns) and sentences. No Streamlit, no IO."""
