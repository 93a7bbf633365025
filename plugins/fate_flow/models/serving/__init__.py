"""Publishing models to FATE-Serving, the Java server that answers single requests online."""
