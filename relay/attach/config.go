package attach

import (
	"cmp"

	"pgrelay/relay"
	"pgrelay/relay/warehouse"
)

// ApplicationName is what sessions of this package call themselves, so that they aren't taken for a relay's.
const ApplicationName = "pgrelay attach"

// DefaultRole is the relay's role where Config names none.
const DefaultRole = "pgrelay"

// Config says what to attach or detach. Only Warehouse.DSN has no default. Its role, and those of the user mappings or of
// Warehouse.Credentials, make the changes: they have to own the tables, or be superusers.
type Config struct {
	Warehouse warehouse.Config
	// Role is the one that the relay connects to the warehouse as, default "pgrelay". At a source it is the one that this
	// role's user mapping names, if it has one; else a role of the same name.
	Role string
	// Password is given to a role that Attach makes, and to its user mappings; without one they are left to be done by hand.
	// It is sent to servers as a SCRAM verifier, but for the mappings, which need it as it is.
	Password string
	// Tables ("schema.table", as the warehouse names them) and Schemas of the warehouse bound what Attach looks at; all.
	Tables, Schemas []string
	// Capture of the tables: CaptureLogical or CaptureTrigger. "" leaves those captured by triggers so, and captures the
	// others logically.
	Capture relay.Capture
	// Keys are the columns that tell the rows of a foreign table apart, by its name. One that is among Tables, is to be captured
	// by triggers, and whose own database can't be reached, is captured in the warehouse.
	Keys map[string][]string
	// NoSlot leaves the slot to the relay, which makes it when it starts first.
	NoSlot bool
	// FullBudget is how many bytes of WAL a day a replica identity FULL may cost by estimate, default 10 GiB: past it FULL is
	// proposed and not applied.
	FullBudget int64
	// Scripts prints install.sql in full instead of its name.
	Scripts bool
	// Force ends relays that are connected; of Detach.
	Force bool
	// DropRole removes the relay's role; of Detach.
	DropRole bool
}

func (c Config) withDefaults() Config {
	c.Role = cmp.Or(c.Role, DefaultRole)
	c.FullBudget = cmp.Or(c.FullBudget, 10<<30)
	c.Warehouse.Publication = cmp.Or(c.Warehouse.Publication, warehouse.DefaultPublication)
	return c
}
