// Package sql is the SQL that a DBA runs with psql and that the relay's own commands run from here.
//
// A script is plain SQL but for two habits of psql: lines that begin with a backslash are psql's own commands (defaults
// for its variables) and are left out here, and :'name' is the quoted value of a variable.
// https://www.postgresql.org/docs/current/app-psql.html#APP-PSQL-VARIABLES
package sql

import (
	"embed"
	"fmt"
	"regexp"
	"strings"
)

//go:embed *.sql demo/*.sql
var scripts embed.FS

// The scripts, and the variables that each of them takes.
const (
	// System makes schema web_socket_event_system_events with the table rules.
	System = "system.sql"
	// Warehouse imports it as foreign tables: system_host, system_port, system_dbname, system_user, system_password,
	// mapped_role ("": whoever runs it).
	Warehouse = "warehouse.sql"
	// RelayRole makes the relay's role in one source: relay_role, relay_password, schemas ("": all).
	RelayRole = "relay_role.sql"

	// DemoProfiles makes the service profiles with its rows.
	DemoProfiles = "demo/profiles.sql"
	// DemoOrders makes the service orders with its rows.
	DemoOrders = "demo/orders.sql"
	// DemoWarehouse imports both services: services_host, services_port, profiles_password, orders_password.
	DemoWarehouse = "demo/warehouse.sql"
	// DemoRules lets anybody see the services' rows, but no e-mail address.
	DemoRules = "demo/rules.sql"
)

// Variables are the values of psql's variables by name.
type Variables map[string]string

var variable = regexp.MustCompile(`:'([a-z_]+)'`)

// Read returns a script with its variables filled in, ready for the simple query protocol. A variable that the script
// names and the map lacks is an error; the error names it and never holds a value.
func Read(name string, variables Variables) (string, error) {
	script, err := scripts.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("read script: %w", err)
	}
	var b strings.Builder
	var missing error
	for line := range strings.Lines(string(script)) {
		switch {
		case strings.HasPrefix(line, `\`):
			continue
		case strings.HasPrefix(line, "--"):
			b.WriteString(line)
			continue
		}
		b.WriteString(variable.ReplaceAllStringFunc(line, func(reference string) string {
			key := variable.FindStringSubmatch(reference)[1]
			value, ok := variables[key]
			if !ok {
				missing = fmt.Errorf("read script %s: variable %s is not given", name, key)
			}
			return "'" + strings.ReplaceAll(value, "'", "''") + "'"
		}))
	}
	return b.String(), missing
}
