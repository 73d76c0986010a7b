package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
	relaypublication "pgrelay/relay/publication"
)

// publication is a row of pg_publication.
type publication struct {
	oid        uint32
	name       string
	all        bool // for all tables
	schemas    []string
	viaRoot    bool
	operations []string
	members    []member
}

// member is a row of pg_publication_rel.
type member struct {
	oid      uint32
	name     string // as SQL writes it
	filtered bool   // a row filter
	listed   bool   // a column list
}

const publicationSQL = `
select p.oid, p.pubname::text, p.puballtables, p.pubviaroot,
  array(select n.nspname::text from pg_catalog.pg_publication_namespace s join pg_catalog.pg_namespace n on n.oid = s.pnnspid where s.pnpubid = p.oid order by 1),
  pg_catalog.array_remove(array[case when p.pubinsert then 'insert' end, case when p.pubupdate then 'update' end,
    case when p.pubdelete then 'delete' end, case when p.pubtruncate then 'truncate' end], null)
from pg_catalog.pg_publication p order by p.pubname`

const memberSQL = `
select m.prpubid, m.prrelid, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), m.prqual is not null, m.prattrs is not null
from pg_catalog.pg_publication_rel m join pg_catalog.pg_publication p on p.oid = m.prpubid
join pg_catalog.pg_class c on c.oid = m.prrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where p.pubname = any($1::text[]) order by 3`

func askPublications(ctx context.Context, tx pgx.Tx, p *place) (err error) {
	p.publications, err = collect(ctx, tx, publicationSQL, func(row pgx.Row, b *publication) error {
		return row.Scan(&b.oid, &b.name, &b.all, &b.viaRoot, &b.schemas, &b.operations)
	})
	if err != nil {
		return err
	}
	type entry struct {
		of uint32
		member
	}
	entries, err := collect(ctx, tx, memberSQL, func(row pgx.Row, e *entry) error {
		return row.Scan(&e.of, &e.oid, &e.name, &e.filtered, &e.listed)
	}, p.source.Publications())
	for _, e := range entries {
		i := slices.IndexFunc(p.publications, func(b publication) bool { return b.oid == e.of })
		if i >= 0 {
			p.publications[i].members = append(p.publications[i].members, e.member)
		}
	}
	return err
}

// ours are the relay's publications that are there, the full one first.
func (p *place) ours() (ours []publication) {
	for _, name := range p.source.Publications() {
		if b, found := p.publication(name); found {
			ours = append(ours, b)
		}
	}
	return ours
}

// carried are the operations that a publication of this name has to carry.
func carried(name string) []string {
	if strings.HasSuffix(name, relaypublication.InsertSuffix) {
		return []string{"insert", "truncate"}
	}
	return []string{"insert", "update", "delete", "truncate"}
}

func (b publication) object() string { return "publication " + relay.Ident(b.name) }

func judgePublicationMissing(p *place) (f findings) {
	name := p.source.Publications()[0]
	if _, found := p.full(); found || len(p.published()) == 0 {
		return f
	}
	remedy := strings.Join(relaypublication.SQL(name, p.server.version, p.inspection.Relations), "\n")
	if p.publishes() {
		f.add(Info, "publication "+relay.Ident(name), remedy, "it isn't there yet: the relay makes it at its start")
	} else {
		f.add(Error, "publication "+relay.Ident(name), remedy, fmt.Sprintf("it isn't there, and role %s may not make it: nothing is captured", relay.Ident(p.role.name)))
	}
	return f
}

// publishes tells that the role may make a publication of what is to be published: who adds a table owns it.
// https://www.postgresql.org/docs/current/sql-createpublication.html
func (p *place) publishes() bool {
	wanted := p.published()
	return p.role.super || p.role.creates && !slices.ContainsFunc(p.tables, func(t table) bool { return wanted[t.oid] != nil && !t.owned })
}

func judgePublicationScope(p *place) (f findings) {
	for _, b := range p.ours() {
		switch {
		case b.all:
			f.add(Error, b.object(), "give the relay another name under publication in pgrelay.yaml",
				"it is for all tables: the relay needs one that names its tables, and foreign tables are left out silently")
		case len(b.schemas) > 0:
			quoted := make([]string, len(b.schemas))
			for i, s := range b.schemas {
				quoted[i] = relay.Ident(s)
			}
			f.add(Error, b.object(), fmt.Sprintf("alter publication %s drop tables in schema %s;", relay.Ident(b.name), strings.Join(quoted, ", ")),
				fmt.Sprintf("it holds whole schemas (%s): tables enter it unnoticed, and foreign ones are left out silently", strings.Join(quoted, ", ")))
		}
	}
	return f
}

func judgePublicationRoot(p *place) (f findings) {
	for _, b := range p.ours() {
		if b.viaRoot {
			f.add(Error, b.object(), fmt.Sprintf("alter publication %s set (publish_via_partition_root = false);", relay.Ident(b.name)),
				"it publishes partitions as their root: TRUNCATE of a partition is silent then, and old rows lack columns")
		}
	}
	return f
}

func judgePublicationOperations(p *place) (f findings) {
	for _, b := range p.ours() {
		want := carried(b.name)
		if slices.Equal(want, b.operations) {
			continue
		}
		missing := slices.DeleteFunc(slices.Clone(want), func(o string) bool { return slices.Contains(b.operations, o) })
		problem := "it lacks " + strings.Join(missing, ", ") + ": such changes are missed"
		if len(missing) == 0 {
			problem = "it publishes " + strings.Join(b.operations, ", ") + ": updates and deletes of tables without replica identity fail"
		}
		f.add(Error, b.object(), fmt.Sprintf("alter publication %s set (publish = '%s');", relay.Ident(b.name), strings.Join(want, ", ")), problem)
	}
	return f
}

func judgePublicationFilters(p *place) (f findings) {
	for _, b := range p.ours() {
		for _, m := range b.members {
			var what []string
			if m.filtered {
				what = append(what, "a row filter")
			}
			if m.listed {
				what = append(what, "a column list")
			}
			if len(what) > 0 {
				name := relay.Ident(b.name)
				f.add(Error, "table "+m.name, fmt.Sprintf("begin;\nalter publication %[1]s drop table only %[2]s;\nalter publication %[1]s add table only %[2]s;\ncommit;", name, m.name),
					fmt.Sprintf("publication %s holds it with %s: changes are hidden from the stream that a snapshot shows", name, strings.Join(what, " and ")))
			}
		}
	}
	return f
}

func judgePublicationTables(p *place) (f findings) {
	ours := p.ours()
	if len(ours) == 0 || slices.ContainsFunc(ours, func(b publication) bool { return b.all }) {
		return f
	}
	wanted := p.published()
	for _, oid := range slices.Sorted(maps.Keys(wanted)) {
		at := slices.IndexFunc(p.tables, func(t table) bool { return t.oid == oid })
		if at < 0 {
			continue
		}
		t, name := p.tables[at], p.source.Publications()[0]
		if wanted[oid].InsertOnly {
			name = p.source.Publications()[1]
		}
		if !slices.Contains(t.publications, name) && (t.identified() || wanted[oid].InsertOnly) {
			severity, problem := Error, fmt.Sprintf("publication %s lacks it, and role %s may not add it: its changes are missed", relay.Ident(name), relay.Ident(p.role.name))
			if p.publishes() {
				severity, problem = Info, fmt.Sprintf("publication %s lacks it: the relay adds it at its next look", relay.Ident(name))
			}
			f.add(severity, "table "+t.name(), fmt.Sprintf("alter publication %s add table only %s;", relay.Ident(name), t.name()), problem)
		}
	}
	return f
}

func judgePublicationExtra(p *place) (f findings) {
	wanted := p.published()
	for _, b := range p.ours() {
		for _, m := range b.members {
			if wanted[m.oid] == nil && !p.holdsForeign(m.oid) && !p.triggered(m.oid) {
				f.add(Info, "table "+m.name, fmt.Sprintf("alter publication %s drop table only %s;", relay.Ident(b.name), m.name),
					fmt.Sprintf("publication %s holds it, and the relay publishes no such table: its changes are decoded for nobody", relay.Ident(b.name)))
			}
		}
	}
	return f
}

func judgePublicationForeign(p *place) (f findings) {
	for _, b := range p.ours() {
		for _, m := range b.members {
			if p.holdsForeign(m.oid) {
				f.add(Error, "table "+m.name, fmt.Sprintf("alter publication %s drop table %s;\nmake foreign tables in the warehouse that lead to its partitions one by one", relay.Ident(b.name), m.name),
					fmt.Sprintf("publication %s holds it, and some of its partitions are foreign tables (%s), whose rows are silently missing from the stream",
						relay.Ident(b.name), listed(p.foreignLeaves(m.oid))))
			}
		}
	}
	return f
}

func (p *place) holdsForeign(oid uint32) bool { return len(p.foreignLeaves(oid)) > 0 }

// foreignLeaves are the partitions of a root that are foreign tables.
func (p *place) foreignLeaves(root uint32) (names []string) {
	for _, t := range p.tables {
		if t.root == root && t.oid != root && t.kind == "f" {
			names = append(names, t.name())
		}
	}
	return names
}

// triggered tells that triggers capture a table, or the root of a partition.
func (p *place) triggered(oid uint32) bool {
	return slices.ContainsFunc(p.tables, func(t table) bool { return t.oid == oid && t.captured })
}
