/* store_schema: the database's schema, one migration a version. Internal to the store.
 *
 * Raw rows (probe, resolution) are append-only with one index each. Integer ids throughout.
 */
#ifndef COLLECTOR_STORE_SCHEMA_H
#define COLLECTOR_STORE_SCHEMA_H

/* migrations[n] leads from version n to n + 1. */
static const char *const store_migrations[] = {
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "INSERT INTO meta VALUES ('seed', abs(random()) & 0xffffffff);"

    "CREATE TABLE fleet (id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, text BLOB NOT NULL);"

    "CREATE TABLE run ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " fleet INTEGER NOT NULL REFERENCES fleet,"
    " state INTEGER NOT NULL," /* enum run_state */
    " trigger TEXT NOT NULL,"
    " created_ms INTEGER NOT NULL," /* wall clock, all _ms */
    " deadline_ms INTEGER NOT NULL,"
    " finished_ms INTEGER NOT NULL DEFAULT 0,"
    " verdict INTEGER NOT NULL DEFAULT -1,"
    " incomplete INTEGER NOT NULL DEFAULT 0,"
    " scope TEXT NOT NULL,"
    " live TEXT NOT NULL);"
    "CREATE INDEX run_open ON run (state) WHERE state < 2;"

    "CREATE TABLE assignment ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " run INTEGER NOT NULL REFERENCES run,"
    " service TEXT NOT NULL, task TEXT NOT NULL, instance TEXT NOT NULL, zone TEXT NOT NULL,"
    " columns TEXT NOT NULL,"
    " state TEXT NOT NULL DEFAULT 'open');"
    "CREATE INDEX assignment_run ON assignment (run);"

    "CREATE TABLE batch ("
    " assignment INTEGER NOT NULL REFERENCES assignment, batch INTEGER NOT NULL,"
    " last INTEGER NOT NULL, dropped INTEGER NOT NULL,"
    " PRIMARY KEY (assignment, batch)) WITHOUT ROWID;"

    "CREATE TABLE probe ("
    " assignment INTEGER NOT NULL, column INTEGER NOT NULL, name TEXT NOT NULL,"
    " address TEXT NOT NULL, port INTEGER NOT NULL, phase INTEGER NOT NULL, outcome TEXT NOT NULL,"
    " error INTEGER NOT NULL, local TEXT NOT NULL, resolve_us INTEGER NOT NULL,"
    " connect_us INTEGER NOT NULL, tls_us INTEGER NOT NULL, exchange_us INTEGER NOT NULL,"
    " status INTEGER NOT NULL, detail TEXT NOT NULL, late INTEGER NOT NULL);"
    "CREATE INDEX probe_assignment ON probe (assignment, column);"

    "CREATE TABLE resolution ("
    " assignment INTEGER NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL, outcome TEXT NOT NULL,"
    " rcode INTEGER NOT NULL, ttl_s INTEGER NOT NULL, time_us INTEGER NOT NULL,"
    " resolver TEXT NOT NULL, answers TEXT NOT NULL, late INTEGER NOT NULL);"
    "CREATE INDEX resolution_assignment ON resolution (assignment);"

    "CREATE TABLE cell ("
    " run INTEGER NOT NULL REFERENCES run, source INTEGER NOT NULL, column INTEGER NOT NULL,"
    " json TEXT NOT NULL, PRIMARY KEY (run, source, column)) WITHOUT ROWID;",

    "ALTER TABLE probe ADD via TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE probe ADD bytes_out INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE probe ADD bytes_in INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE probe ADD retransmits INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE probe ADD rtt_us INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE probe ADD mss INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE probe ADD pmtu INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE probe ADD icmp_type INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE probe ADD icmp_code INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE probe ADD icmp_from TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE probe ADD rate INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE probe ADD tls_version TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE probe ADD alpn TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE probe ADD resumed INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE probe ADD verify INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE probe ADD valid_days INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE probe ADD chain TEXT NOT NULL DEFAULT '[]';" /* JSON list */

    "ALTER TABLE resolution ADD asked TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE resolution ADD chain TEXT NOT NULL DEFAULT '[]';"
    "ALTER TABLE resolution ADD tries INTEGER NOT NULL DEFAULT 1;"
    "ALTER TABLE resolution ADD truncated INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE resolution ADD tcp INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE resolution ADD superseded INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE resolution ADD reference INTEGER NOT NULL DEFAULT 0;",

    /* What a task is to do (source) and the pieces of work it was given (assignment) are two
     * things: both ends of a path, several rounds. */
    "CREATE TABLE source ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " run INTEGER NOT NULL REFERENCES run,"
    " service TEXT NOT NULL, task TEXT NOT NULL, instance TEXT NOT NULL, zone TEXT NOT NULL,"
    " columns TEXT NOT NULL,"
    " state TEXT NOT NULL DEFAULT 'open');"
    "INSERT INTO source SELECT id, run, service, task, instance, zone, columns, state "
    "FROM assignment;"
    "CREATE INDEX source_run ON source (run);"
    "DROP INDEX assignment_run;"
    "ALTER TABLE assignment RENAME TO assignment_2;"
    "CREATE TABLE assignment ("
    " id INTEGER PRIMARY KEY,"
    " run INTEGER NOT NULL REFERENCES run,"
    " source INTEGER NOT NULL REFERENCES source," /* 0: a watch */
    " instance TEXT NOT NULL,"
    " kind TEXT NOT NULL," /* sweep, confirm, watch */
    " round INTEGER NOT NULL,"
    " columns TEXT NOT NULL,"
    " message TEXT NOT NULL);" /* as it was sent */
    "INSERT INTO assignment SELECT id, run, id, instance, 'sweep', 0, columns, '' "
    "FROM assignment_2;"
    "DROP TABLE assignment_2;"
    "CREATE INDEX assignment_run ON assignment (run);"

    "DROP INDEX run_open;"
    "UPDATE run SET state = 4 WHERE state = 2;" /* confirm and settling came in between */
    "CREATE INDEX run_open ON run (state) WHERE state < 4;"

    "ALTER TABLE probe ADD attempt INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE probe ADD came TEXT NOT NULL DEFAULT '';" /* after the deadline: an outcome */
    "ALTER TABLE probe ADD came_us INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE probe ADD held INTEGER NOT NULL DEFAULT 0;"

    "CREATE TABLE witness ("
    " assignment INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES run,"
    " round INTEGER NOT NULL, service TEXT NOT NULL, task TEXT NOT NULL,"
    " message TEXT NOT NULL," /* as it came */
    " late INTEGER NOT NULL);"
    "CREATE INDEX witness_run ON witness (run);"

    "CREATE TABLE owner ("
    " run INTEGER NOT NULL REFERENCES run, address TEXT NOT NULL, service INTEGER NOT NULL,"
    " json TEXT NOT NULL, PRIMARY KEY (run, address, service)) WITHOUT ROWID;",

    "ALTER TABLE source ADD facts TEXT NOT NULL DEFAULT '{}';" /* of the task: revision, ... */
    "CREATE TABLE diagnosis ("
    " run INTEGER NOT NULL REFERENCES run, number INTEGER NOT NULL,"
    " json TEXT NOT NULL, PRIMARY KEY (run, number)) WITHOUT ROWID;",

    "CREATE TABLE estate ("
    " run INTEGER PRIMARY KEY REFERENCES run, taken_ms INTEGER NOT NULL,"
    " network_taken_ms INTEGER NOT NULL, region TEXT NOT NULL);"
    /* Most parts are the same from run to run. */
    "CREATE TABLE estate_content (id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE,"
    " json TEXT NOT NULL);"
    "CREATE TABLE estate_part ("
    " run INTEGER NOT NULL REFERENCES run, name TEXT NOT NULL,"
    " content INTEGER NOT NULL REFERENCES estate_content, PRIMARY KEY (run, name)) WITHOUT ROWID;",

    "CREATE TABLE gate ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " deployment TEXT NOT NULL, service TEXT NOT NULL,"
    " open INTEGER NOT NULL,"
    " created_ms INTEGER NOT NULL,"
    " json TEXT NOT NULL,"
    " UNIQUE (deployment, service));" /* one gate each, for ever */
    "CREATE INDEX gate_open ON gate (open) WHERE open;"

    /* Whose incidents are not looked at yet; those from before there were any are done with. */
    "ALTER TABLE run ADD told INTEGER NOT NULL DEFAULT 0;"
    "UPDATE run SET told = 1;"
    "CREATE INDEX run_untold ON run (id) WHERE NOT told;"
    "INSERT INTO meta VALUES ('incident', 0);"
    "CREATE TABLE incident ("
    " id INTEGER PRIMARY KEY, open INTEGER NOT NULL, opened_ms INTEGER NOT NULL,"
    " told_ms INTEGER NOT NULL, resolved_ms INTEGER NOT NULL, json TEXT NOT NULL);"
    "CREATE INDEX incident_open ON incident (id) WHERE open;"
    "CREATE TABLE outbox ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, destination TEXT NOT NULL, incident INTEGER NOT NULL,"
    " kind TEXT NOT NULL, created_ms INTEGER NOT NULL, next_ms INTEGER NOT NULL DEFAULT 0,"
    " attempts INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT 'pending',"
    " error TEXT NOT NULL DEFAULT '', remote TEXT NOT NULL DEFAULT '', json TEXT NOT NULL);"
    "CREATE INDEX outbox_pending ON outbox (destination, id) WHERE state = 'pending';"
    "CREATE INDEX outbox_state ON outbox (destination, state);"
    "CREATE INDEX outbox_incident ON outbox (destination, incident) WHERE remote != '';"

    "CREATE TABLE schedule (name TEXT PRIMARY KEY, last_ms INTEGER NOT NULL, run INTEGER NOT NULL)"
    " WITHOUT ROWID;"

    /* The last good run of some pair: not asked again until a later run is judged. */
    "ALTER TABLE run ADD kept INTEGER NOT NULL DEFAULT 0;" /* the newest run when it was looked at
                                                            */
    "CREATE TABLE outage ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, target TEXT NOT NULL,"
    " check_name TEXT NOT NULL, start_ms INTEGER NOT NULL, start_run INTEGER NOT NULL,"
    " end_ms INTEGER NOT NULL, end_run INTEGER NOT NULL, causes TEXT NOT NULL);"
    "CREATE INDEX outage_open ON outage (id) WHERE end_ms = 0;"
    "CREATE INDEX outage_pair ON outage (source, target, check_name);",
};

#endif
