"""How jobs are run.  The prefork pool: processes that pull leases from one socket."""
