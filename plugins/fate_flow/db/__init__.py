"""Tables of the platform inside Airflow's metadata database, and the session to reach them."""
