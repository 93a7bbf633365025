"""PyMySQL where Airflow asks for MySQLdb.

Airflow refuses a MySQL address, whatever driver it names, unless ``MySQLdb`` can be
imported; that package has to be compiled against a client library of the system. PyMySQL is
pure Python, is what our addresses name, and offers to go under the other name.
"""

from __future__ import annotations

import importlib.util
import sys


def stand_in_for_mysqldb() -> bool:
    """Must run before Airflow sets itself up; False when the real package is there."""
    if importlib.util.find_spec("MySQLdb") is not None:
        return False
    import pymysql
    from pymysql import converters

    pymysql.install_as_MySQLdb()
    # The names by which Airflow teaches the driver its own class of times.
    converters.DateTime2literal = converters.escape_datetime
    sys.modules["MySQLdb.converters"] = converters
    return True
