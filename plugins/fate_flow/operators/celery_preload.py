"""Imported by a Celery worker before it forks its pool (its setting ``imports``).

What a pool process has not imported, every task in it would import again.
"""

from fate_flow.operators.executor import preload

preload()
