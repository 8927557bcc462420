"""The dashboard: `streamlit run streamlit_app/dashboard.py`. Of pyfl it imports event and record types and their sentences, no more."""
