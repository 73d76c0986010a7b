package predicate

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestParams compares predicates with parameters: their types are those that PREPARE deduces, and with values the answers
// are those of EXECUTE.
func TestParams(t *testing.T) {
	for _, version := range []int{15, 18} {
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			t.Parallel()
			seed, n := setting(t, envSeed, 1), setting(t, envPairs, 20000)/40
			w := newWorld(t, version, 20, uint64(seed))
			w.exec(t, "set plan_cache_mode = force_generic_plan")
			g := generator{Rand: rand.New(rand.NewPCG(uint64(seed), 4)), params: 3}
			count := &tally{outcomes: map[string]int{}, refusals: map[string]int{}}
			for range n {
				w.compareParams(t, g, g.predicate(), count)
			}
			t.Logf("seed %d\n%s", seed, list(count.outcomes))
		})
	}
}

func (w *world) compareParams(t *testing.T, g generator, text string, count *tally) {
	t.Helper()
	p, err := Compile(text, w.relation, Options{Claims: true, Params: 3})
	var e *Error
	if errors.As(err, &e) && e.Refused {
		count.outcomes["refused"]++
		return
	}
	_, rejected := w.answers(t.Context(), "prepare p as select case when ("+text+"\n) then 'true' when not ("+text+
		"\n) then 'false' else 'null' end from shop.t order by id")
	if rejected != nil {
		if err == nil {
			t.Errorf("%s\nPostgres rejects it: %v", text, rejected)
		}
		count.outcomes["rejected by both"]++
		return
	}
	defer w.exec(t, "deallocate p")
	if err != nil {
		if w.plans(t, text) {
			t.Errorf("%s\nrejected: %v; Postgres takes it", text, err)
		}
		count.outcomes["rejected by both"]++
		return
	}
	types, err := w.answers(t.Context(), "select unnest(parameter_types)::oid::regtype::text from pg_prepared_statements where name = 'p'")
	if err != nil {
		t.Fatal(err)
	}
	if got := p.ParamTypes(); !slices.Equal(got, types) {
		t.Errorf("%s\nparameters: got %q, want %q", text, got, types)
		return
	}
	w.compareValues(t, g, p, text, types, count)
}

// plans tells whether a prepared predicate, which PREPARE doesn't plan, can be planned.
func (w *world) plans(t *testing.T, text string) bool {
	_, err := w.answers(t.Context(), "explain (generic_plan) select from shop.t where ("+text+"\n)")
	return err == nil
}

func (w *world) compareValues(t *testing.T, g generator, p *Predicate, text string, types []string, count *tally) {
	t.Helper()
	var params []json.RawMessage
	var literals []string
	for _, of := range types {
		i := slices.IndexFunc(samples, func(s sample) bool {
			d := w.relation.Columns[w.relation.Column(s.column)]
			return d.Type.Name == of
		})
		if i < 0 {
			return
		}
		v := g.pick(samples[i].values)
		raw, _ := json.Marshal(v)
		if of == "json" || of == "jsonb" {
			raw = []byte(v)
		}
		params, literals = append(params, raw), append(literals, quote(v))
	}
	execute := "execute p"
	if len(literals) > 0 {
		execute += "(" + strings.Join(literals, ", ") + ")"
	}
	want, failed := w.answers(t.Context(), execute)
	some := false
	for i, row := range w.rows {
		b, err := p.Bind(json.RawMessage(w.claims[i]), params)
		if err != nil {
			t.Errorf("%s %s: %v", text, params, err)
			return
		}
		got, fault := b.Eval(row)
		some = some || fault != nil
		if failed == nil && got.String() != want[i] && (fault == nil || !fault.inexact()) {
			t.Errorf("%s %s\nrow %d: got %v %v, want %s", text, params, i+1, got, fault, want[i])
			return
		}
	}
	if failed != nil && !some {
		t.Errorf("%s %s: no error, Postgres has %v", text, params, failed)
	}
	count.outcomes["compared"]++
	count.outcomes[fmt.Sprintf("compared with %d parameters", len(types))]++
}
