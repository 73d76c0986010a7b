package doctor

// check is one kind of thing that may be wrong. It judges what was read and does no I/O: place is asked of every database
// for which its needs were read, or whole once of everything.
type check struct {
	// name is stable: it is in a Finding, and what Config.Ignore takes.
	name  string
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
	{name: "unreachable", whole: judgeReach},
	{name: "user_mapping", whole: judgeMapping},
	{name: "unread", whole: judgeUnread},

	// The server and its settings.
	{name: "version", once: true, needs: []fact{factServer}, place: judgeVersion},
	{name: "standby", once: true, needs: []fact{factServer}, anywhere: true, place: judgeStandby},
	{name: "pooler", once: true, needs: []fact{factServer}, anywhere: true, place: judgePooler},
	{name: "encoding", needs: []fact{factServer}, place: judgeEncoding},
	{name: "wal_level", once: true, needs: []fact{factServer, factTables}, place: judgeWALLevel},
	{name: "max_replication_slots", once: true, needs: []fact{factServer, factTables}, place: judgeMaxSlots},
	{name: "max_wal_senders", once: true, needs: []fact{factServer, factTables}, place: judgeMaxSenders},
	{name: "synchronous_standby_names", once: true, needs: []fact{factServer, factTables}, place: judgeStandbyNames},
	{name: "max_slot_wal_keep_size", once: true, needs: []fact{factServer, factTables}, place: judgeKeepSize},
	{name: "idle_replication_slot_timeout", once: true, needs: []fact{factServer, factTables}, place: judgeIdleTimeout},
	{name: "synchronized_standby_slots", once: true, needs: []fact{factServer, factSlots}, place: judgeSynchronized},
	{name: "notification_queue", once: true, needs: []fact{factServer}, anywhere: true, place: judgeQueue},
	{name: "clock", once: true, needs: []fact{factServer}, anywhere: true, place: judgeClock},

	// Slots, and what holds them back.
	{name: "slot_lost", needs: []fact{factSlots, factPublications}, place: judgeLost},
	{name: "slot_lag", needs: []fact{factSlots, factPublications}, place: judgeLag},
	{name: "slot_safe_wal_size", needs: []fact{factServer, factSlots, factPublications}, place: judgeSafe},
	{name: "slot_catalog_xmin", needs: []fact{factSlots, factPublications}, place: judgeCatalogAge},
	{name: "slot_inactive", needs: []fact{factSlots, factPublications}, place: judgeInactive},
	{name: "slot_orphaned", needs: []fact{factSlots, factPublications}, anywhere: true, place: judgeOrphaned},
	{name: "slot_elsewhere", whole: judgeForeignSlots},
	{name: "slot_failover", needs: []fact{factServer, factSlots, factPublications}, place: judgeFailover},
	{name: "standby_unsynced", once: true, needs: []fact{factServer, factSlots, factPublications}, place: judgeUnsynced},
	{name: "long_transaction", once: true, needs: []fact{factTransactions}, place: judgeTransactions},

	// Publications.
	{name: "publication_missing", needs: []fact{factServer, factRole, factPublications, factTables}, place: judgePublicationMissing},
	{name: "publication_scope", needs: []fact{factPublications}, place: judgePublicationScope},
	{name: "publication_via_root", needs: []fact{factPublications}, place: judgePublicationRoot},
	{name: "publication_operations", needs: []fact{factPublications}, place: judgePublicationOperations},
	{name: "publication_filters", needs: []fact{factPublications}, place: judgePublicationFilters},
	{name: "publication_tables", needs: []fact{factPublications, factTables}, place: judgePublicationTables},
	{name: "publication_foreign", needs: []fact{factPublications, factTables}, place: judgePublicationForeign},
	{name: "publication_extra", needs: []fact{factPublications, factTables}, place: judgePublicationExtra},

	// Tables.
	{name: "replica_identity", needs: []fact{factServer, factTables}, place: judgeIdentity},
	{name: "deferrable_key", needs: []fact{factServer, factTables}, place: judgeDeferrable},
	{name: "full_with_generated", needs: []fact{factServer, factTables}, place: judgeGenerated},
	{name: "unlogged", needs: []fact{factTables}, place: judgeUnlogged},
	{name: "row_security", needs: []fact{factRole, factTables}, place: judgeRowSecurity},
	{name: "foreign_partitions", needs: []fact{factTables}, place: judgeForeignPartitions},
	{name: "extension_table", needs: []fact{factTables}, place: judgeExtension},
	{name: "drift", place: judgeDrift},
	{name: "several_foreign_tables", place: judgeDuplicates},
	{name: "refused", whole: judgeRefused},
	{name: "not_published", whole: judgeSkipped},
	{name: "column_not_published", needs: []fact{factCatalog}, place: judgeNotes},

	// Capture by triggers.
	{name: "outbox_version", needs: []fact{factCapture}, anywhere: true, place: judgeOutboxVersion},
	{name: "outbox_budget", needs: []fact{factCapture}, anywhere: true, place: judgeOutbox},
	{name: "outbox_unread", needs: []fact{factCapture}, anywhere: true, place: judgeOutboxUnread},
	{name: "doorbell", needs: []fact{factServer, factCapture}, anywhere: true, place: judgeDoorbell},
	{name: "trigger_missing", needs: []fact{factCapture}, anywhere: true, place: judgeTriggerMissing},
	{name: "trigger_disabled", needs: []fact{factCapture}, anywhere: true, place: judgeTriggerDisabled},
	{name: "trigger_mode", needs: []fact{factCapture}, anywhere: true, place: judgeTriggerMode},
	{name: "trigger_altered", needs: []fact{factCapture}, anywhere: true, place: judgeTriggerAltered},
	{name: "trigger_orphaned", needs: []fact{factCapture}, anywhere: true, place: judgeTriggerOrphaned},
	{name: "trigger_level", needs: []fact{factCapture}, anywhere: true, place: judgeTriggerLevel},
	{name: "captured_gone", needs: []fact{factCapture}, anywhere: true, place: judgeCapturedGone},
	{name: "captured_twice", needs: []fact{factTables}, anywhere: true, place: judgeCapturedTwice},
	{name: "captured_at_warehouse", needs: []fact{factCapture}, anywhere: true, place: judgeCapturedHere},

	// Privileges.
	{name: "privileges_lacking", needs: []fact{factRole, factTables}, place: judgeLacking},
	{name: "privileges_beyond", needs: []fact{factRole, factTables}, place: judgeBeyond},
	{name: "blind", once: true, needs: []fact{factRole}, place: judgeBlind},

	// Rules.
	{name: "rules_unread", whole: judgeRulesUnread},
	{name: "rule_broken", whole: judgeRulesBroken},
	{name: "rule_replica_identity", whole: judgeRulesIdentity},
	{name: "rule_uncaptured", whole: judgeRulesUncaptured},
	{name: "rule_doubtful", whole: judgeRulesDoubtful},
	{name: "rule_unindexed", whole: judgeRulesUnindexed},
	{name: "captured_without_rule", whole: judgeUnruled},
}

func checkNames() []string {
	names := make([]string, len(checks))
	for i, k := range checks {
		names[i] = k.name
	}
	return names
}

// Checks are the names of all checks.
func Checks() []string { return checkNames() }
