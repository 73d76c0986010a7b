package doctor

// check is one kind of thing that may be wrong. It judges what was read and does no I/O: place is asked of every database
// for which its needs were read, or whole once of everything.
type check struct {
	// name is stable: it is in a Finding, and what Config.Ignore takes.
	name string
	// finds says in a few words what it finds.
	finds string
	needs []fact
	// anywhere: also of a warehouse that has no tables of its own.
	anywhere bool
	// once of a server, however many of its databases are sources: the first speaks for it.
	once  bool
	place func(*place) findings
	whole func(*examination) findings
}

// checks are all of them, in the order in which a source's findings are listed.
var checks = []check{
	// What can be read at all.
	{name: "unreachable", finds: "a source that can't be read", whole: judgeReach},
	{name: "user_mapping", finds: "a foreign server for which the warehouse gives the relay no user", whole: judgeMapping},
	{name: "unread", finds: "what couldn't be looked at, for a timeout or a lock", whole: judgeUnread},

	// The server and its settings.
	{name: "version", finds: "a server that is too old", once: true, needs: []fact{factServer}, place: judgeVersion},
	{name: "standby", finds: "a hot standby in the DSN", once: true, needs: []fact{factServer}, anywhere: true, place: judgeStandby},
	{name: "pooler", finds: "a connection pooler in the DSN", once: true, needs: []fact{factServer}, anywhere: true, place: judgePooler},
	{name: "encoding", finds: "a database in SQL_ASCII", needs: []fact{factServer}, place: judgeEncoding},
	{name: "wal_level", finds: "no logical replication", once: true, needs: []fact{factServer, factTables}, place: judgeWALLevel},
	{name: "max_replication_slots", finds: "too few slots that are free", once: true, needs: []fact{factServer, factTables}, place: judgeMaxSlots},
	{name: "max_wal_senders", finds: "too few WAL senders that are free", once: true, needs: []fact{factServer, factTables}, place: judgeMaxSenders},
	{name: "synchronous_standby_names", finds: "that the relay would be a synchronous standby", once: true, needs: []fact{factServer, factTables}, place: judgeStandbyNames},
	{name: "max_slot_wal_keep_size", finds: "slots that may fill the disk, or that are lost too soon", once: true, needs: []fact{factServer, factTables}, place: judgeKeepSize},
	{name: "idle_replication_slot_timeout", finds: "slots that are lost while a relay is away (18)", once: true, needs: []fact{factServer, factTables}, place: judgeIdleTimeout},
	{name: "synchronized_standby_slots", finds: "failover slots that wait for a slot that is absent or unused (17)", once: true, needs: []fact{factServer, factSlots}, place: judgeSynchronized},
	{name: "notification_queue", finds: "a queue of NOTIFY that fills up", once: true, needs: []fact{factServer}, anywhere: true, place: judgeQueue},
	{name: "clock", finds: "a clock that differs from this machine's", once: true, needs: []fact{factServer}, anywhere: true, place: judgeClock},

	// Slots, and what holds them back.
	{name: "slot_lost", finds: "slots that the server gave up or invalidated", needs: []fact{factSlots, factPublications}, place: judgeLost},
	{name: "slot_lag", finds: "slots that keep too much WAL, by restart_lsn", needs: []fact{factSlots, factPublications}, place: judgeLag},
	{name: "slot_safe_wal_size", finds: "slots that are about to be given up", needs: []fact{factServer, factSlots, factPublications}, place: judgeSafe},
	{name: "slot_catalog_xmin", finds: "slots that keep dead rows of the catalogs", needs: []fact{factSlots, factPublications}, place: judgeCatalogAge},
	{name: "slot_inactive", finds: "slots of a relay that is away", needs: []fact{factSlots, factPublications}, place: judgeInactive},
	{name: "slot_orphaned", finds: "slots that no relay will use again", needs: []fact{factSlots, factPublications}, anywhere: true, place: judgeOrphaned},
	{name: "slot_elsewhere", finds: "a relay's slots in databases that the warehouse doesn't lead to", whole: judgeForeignSlots},
	{name: "slot_failover", finds: "slots that a failover loses (17)", needs: []fact{factServer, factSlots, factPublications}, place: judgeFailover},
	{name: "standby_unsynced", finds: "slots that a standby doesn't copy, or that may overtake it (17)", once: true, needs: []fact{factServer, factSlots, factPublications}, place: judgeUnsynced},
	{name: "long_transaction", finds: "transactions, prepared ones too, that hold slots back", once: true, needs: []fact{factTransactions}, place: judgeTransactions},

	// Publications.
	{name: "publication_missing", finds: "no publication", needs: []fact{factServer, factRole, factPublications, factTables}, place: judgePublicationMissing},
	{name: "publication_scope", finds: "a publication for all tables or for whole schemas", needs: []fact{factPublications}, place: judgePublicationScope},
	{name: "publication_via_root", finds: "a publication that names partitions after their root", needs: []fact{factPublications}, place: judgePublicationRoot},
	{name: "publication_operations", finds: "a publication that lacks operations", needs: []fact{factPublications}, place: judgePublicationOperations},
	{name: "publication_filters", finds: "row filters and column lists", needs: []fact{factPublications}, place: judgePublicationFilters},
	{name: "publication_tables", finds: "tables that the publication lacks", needs: []fact{factRole, factPublications, factTables}, place: judgePublicationTables},
	{name: "publication_foreign", finds: "partitioned tables in it with foreign partitions", needs: []fact{factPublications, factTables}, place: judgePublicationForeign},
	{name: "publication_extra", finds: "tables in it that nobody asks for", needs: []fact{factPublications, factTables}, place: judgePublicationExtra},

	// Tables.
	{name: "replica_identity", finds: "tables and partitions without a replica identity", needs: []fact{factServer, factTables}, place: judgeIdentity},
	{name: "deferrable_key", finds: "keys that are deferrable", needs: []fact{factServer, factTables}, place: judgeDeferrable},
	{name: "full_with_generated", finds: "replica identity FULL beside generated columns", needs: []fact{factServer, factTables}, place: judgeGenerated},
	{name: "unlogged", finds: "unlogged tables", needs: []fact{factTables}, place: judgeUnlogged},
	{name: "row_security", finds: "row security that hides rows from the relay", needs: []fact{factRole, factTables}, place: judgeRowSecurity},
	{name: "foreign_partitions", finds: "partitioned tables with foreign partitions", needs: []fact{factTables}, place: judgeForeignPartitions},
	{name: "extension_table", finds: "published tables that belong to an extension", needs: []fact{factTables}, place: judgeExtension},
	{name: "drift", finds: "foreign tables that don't fit the table at the source", place: judgeDrift},
	{name: "several_foreign_tables", finds: "several foreign tables over one table", place: judgeDuplicates},
	{name: "refused", finds: "whatever else keeps a table from being published", whole: judgeRefused},
	{name: "not_published", finds: "relations of the warehouse that can't be published", whole: judgeSkipped},
	{name: "column_not_published", finds: "columns that can't be published", needs: []fact{factCatalog}, place: judgeNotes},

	// Capture by triggers.
	{name: "outbox_version", finds: "an outbox of an older or a newer version", needs: []fact{factCapture}, anywhere: true, place: judgeOutboxVersion},
	{name: "outbox_budget", finds: "an outbox that is near or past its budget, or closed", needs: []fact{factCapture}, anywhere: true, place: judgeOutbox},
	{name: "outbox_unread", finds: "an outbox whose relay is away", needs: []fact{factCapture}, anywhere: true, place: judgeOutboxUnread},
	{name: "doorbell", finds: "an outbox that rings for nobody", needs: []fact{factServer, factCapture}, anywhere: true, place: judgeDoorbell},
	{name: "trigger_missing", finds: "triggers that are missing", needs: []fact{factCapture}, anywhere: true, place: judgeTriggerMissing},
	{name: "trigger_disabled", finds: "triggers that are disabled", needs: []fact{factCapture}, anywhere: true, place: judgeTriggerDisabled},
	{name: "trigger_mode", finds: "triggers that aren't ENABLE ALWAYS", needs: []fact{factCapture}, anywhere: true, place: judgeTriggerMode},
	{name: "trigger_altered", finds: "triggers and functions that were altered by hand", needs: []fact{factCapture}, anywhere: true, place: judgeTriggerAltered},
	{name: "trigger_older", finds: "triggers left from an older version", needs: []fact{factCapture}, anywhere: true, place: judgeTriggerOlder},
	{name: "trigger_orphaned", finds: "triggers of tables that aren't captured", needs: []fact{factCapture}, anywhere: true, place: judgeTriggerOrphaned},
	{name: "trigger_level", finds: "triggers for each statement that miss changes", needs: []fact{factCapture}, anywhere: true, place: judgeTriggerLevel},
	{name: "captured_partition", finds: "captured tables that have become partitions", needs: []fact{factCapture}, anywhere: true, place: judgeCapturedPartition},
	{name: "captured_gone", finds: "captured tables that were dropped", needs: []fact{factCapture}, anywhere: true, place: judgeCapturedGone},
	{name: "captured_twice", finds: "tables that are captured both ways", needs: []fact{factTables}, anywhere: true, place: judgeCapturedTwice},
	{name: "captured_at_warehouse", finds: "foreign tables that are captured at the warehouse, and what isn't seen of them", needs: []fact{factCapture}, anywhere: true, place: judgeCapturedHere},

	// Privileges.
	{name: "privileges_lacking", finds: "what the role may not do and must", needs: []fact{factRole, factTables}, place: judgeLacking},
	{name: "privileges_beyond", finds: "what the role may do and need not", needs: []fact{factRole, factTables}, place: judgeBeyond},
	{name: "blind", finds: "a role that can't see long transactions", once: true, needs: []fact{factRole}, place: judgeBlind},

	// Rules.
	{name: "rules_unread", finds: "rules that can't be read", whole: judgeRulesUnread},
	{name: "rule_broken", finds: "rules that can't be evaluated", whole: judgeRulesBroken},
	{name: "rule_replica_identity", finds: "rules that read what old rows don't carry", whole: judgeRulesIdentity},
	{name: "rule_uncaptured", finds: "rules for tables that nothing captures", whole: judgeRulesUncaptured},
	{name: "rule_doubtful", finds: "rules of which something is without effect", whole: judgeRulesDoubtful},
	{name: "rule_unindexed", finds: "rules that are asked about every change, for each person", whole: judgeRulesUnindexed},
	{name: "captured_without_rule", finds: "captured tables that nobody may see", whole: judgeUnruled},
}

func checkNames() []string {
	names := make([]string, len(checks))
	for i, k := range checks {
		names[i] = k.name
	}
	return names
}

// Checks are the names of all checks, and Finds says what one of them finds.
func Checks() []string { return checkNames() }

// Finds says what a check finds; empty where there is none of that name.
func Finds(name string) string {
	for _, k := range checks {
		if k.name == name {
			return k.finds
		}
	}
	return ""
}
