"""Vector functions for SQLite: the ``sqlite-vec`` extension.

Many builds of Python cannot load extensions of SQLite (their ``sqlite3`` has no ``enable_load_extension``).
There the extension is registered with the SQLite library that Python itself has loaded
(sqlite.org/c3ref/auto_extension.html): it is then on every connection that the process opens.
"""

import _sqlite3
import ctypes
import sqlite3
import sys
from contextlib import closing

import sqlite_vec

CAN_LOAD = hasattr(sqlite3.Connection, "enable_load_extension")
_SUFFIX = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")
_OK = 0


class NoVectorFunctions(Exception):
    """This Python cannot give SQLite its vector functions; the message says why."""


def check_vector_functions() -> None:
    """Raises NoVectorFunctions if ``add_vector_functions`` does not work here."""
    if not CAN_LOAD:
        _register()
    try:
        with closing(sqlite3.connect(":memory:")) as connection:
            add_vector_functions(connection)
            connection.execute("SELECT vec_version()").fetchone()
    except sqlite3.Error as error:
        raise NoVectorFunctions(f"sqlite-vec does not work here: {error}") from None


def add_vector_functions(connection: sqlite3.Connection) -> None:
    """To a connection that was opened after ``check_vector_functions``. Raises sqlite3.Error."""
    if CAN_LOAD:
        connection.enable_load_extension(True)
        connection.load_extension(sqlite_vec.loadable_path())
        connection.enable_load_extension(False)


def _register() -> None:
    """SQLite remembers an entry point once, however often it is registered."""
    try:
        library = ctypes.CDLL(_sqlite3.__file__)
        extension = ctypes.CDLL(sqlite_vec.loadable_path() + _SUFFIX)
        entry = ctypes.cast(extension.sqlite3_vec_init, ctypes.c_void_p)
        code = library.sqlite3_auto_extension(entry)
    except (OSError, AttributeError) as error:
        raise NoVectorFunctions(f"this Python's sqlite3 cannot load extensions ({error})") from None
    if code != _OK:
        raise NoVectorFunctions(f"this Python's sqlite3 cannot load extensions (SQLite says {code})")
