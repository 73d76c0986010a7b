package demo

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay/pgserver"
	"pgrelay/sql"
)

// The roles, and the databases; a service's database and owner have one name.
const (
	admin    = "admin"
	profiles = "profiles"
	orders   = "orders"

	warehouse = "warehouse"
	system    = "web_socket_event_system"
)

// buildServices makes each service's database, with an owner that may replicate it and nothing else.
func (d *Demo) buildServices(ctx context.Context) error {
	for service, script := range map[string]string{profiles: sql.DemoProfiles, orders: sql.DemoOrders} {
		if err := d.createOwner(ctx, d.services, service, service); err != nil {
			return err
		}
		if err := d.run(ctx, d.dsn(d.services, service, service), script, nil); err != nil {
			return err
		}
	}
	return nil
}

// buildWarehouse makes the system database and the warehouse. The superuser's part is what only a superuser can do.
func (d *Demo) buildWarehouse(ctx context.Context) error {
	if err := d.createOwner(ctx, d.warehouse, admin, warehouse, system); err != nil {
		return err
	}
	if err := d.warehouse.Exec(ctx, "postgres", "create role pgrelay_operator nologin; grant pgrelay_operator to admin"); err != nil {
		return fmt.Errorf("create operator: %w", err)
	}
	const wrapper = "create extension postgres_fdw; grant usage on foreign data wrapper postgres_fdw to admin"
	if err := d.warehouse.Exec(ctx, warehouse, wrapper); err != nil {
		return fmt.Errorf("create wrapper: %w", err)
	}
	systemAt := sql.Variables{
		"system_host": "127.0.0.1", "system_port": strconv.Itoa(d.warehouse.Port()), "system_dbname": system,
		"system_user": admin, "system_password": d.passwords[admin], "mapped_role": "",
	}
	servicesAt := sql.Variables{
		"services_host": "127.0.0.1", "services_port": strconv.Itoa(d.services.Port()),
		"profiles_password": d.passwords[profiles], "orders_password": d.passwords[orders],
	}
	return errors.Join(
		d.run(ctx, d.SystemDSN(), sql.System, nil),
		d.run(ctx, d.SystemDSN(), sql.DemoRules, nil),
		d.run(ctx, d.WarehouseDSN(), sql.Warehouse, systemAt),
		d.run(ctx, d.WarehouseDSN(), sql.DemoWarehouse, servicesAt),
	)
}

// createOwner makes a role and the databases that it owns.
func (d *Demo) createOwner(ctx context.Context, s *pgserver.Server, role string, databases ...string) error {
	name := pgx.Identifier{role}.Sanitize()
	// A password of rand.Text is letters and digits.
	statement := fmt.Sprintf("create role %s login replication password '%s'", name, d.passwords[role])
	if err := s.Exec(ctx, "postgres", statement); err != nil {
		return fmt.Errorf("create role %s: %w", role, err)
	}
	for _, database := range databases {
		statement := fmt.Sprintf("create database %s owner %s", pgx.Identifier{database}.Sanitize(), name)
		if err := s.Exec(ctx, "postgres", statement); err != nil {
			return fmt.Errorf("create database %s: %w", database, err)
		}
	}
	return nil
}

// run runs one of the scripts in sql/.
func (d *Demo) run(ctx context.Context, dsn, name string, variables sql.Variables) error {
	script, err := sql.Read(name, variables)
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return fmt.Errorf("run %s: %w", name, err)
	}
	_, err = conn.PgConn().Exec(ctx, script).ReadAll()
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		return fmt.Errorf("run %s: %w", name, err)
	}
	return nil
}
