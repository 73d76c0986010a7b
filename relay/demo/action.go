package demo

import "math/rand/v2"

// action is one thing that happens in a service: one statement, one transaction there.
type action struct {
	name    string
	service string
	// weight is how often it happens, relative to the others.
	weight int
	sql    string
}

// somebody is a random person, in either service: the first 300 have ids that come from their number.
// A subquery, since random() in a condition is asked anew for each row.
const somebody = `(select md5('user ' || 1 + floor(random() * 300)::int)::uuid)`

// actions keep the tables' sizes within bounds: what is added is removed again further on.
var actions = []action{
	{"move balance", profiles, 22, `
		update profiles.users set balance = greatest(0, balance + round((random() * 120 - 55)::numeric, 2)), updated_at = now()
		where id = ` + somebody},
	{"come and go", profiles, 12, `
		update profiles.users set
			status = case status when 'active' then 'away' else 'active' end::profiles.status,
			profile = jsonb_set(profile, '{logins}', to_jsonb(coalesce((profile ->> 'logins')::int, 0) + 1)), updated_at = now()
		where id = ` + somebody + ` and status <> 'suspended'`},
	{"change settings", profiles, 7, `
		update profiles.users set profile = profile || jsonb_build_object(
			'theme', (array['light', 'dark', 'system'])[1 + floor(random() * 3)::int],
			'city', (array['Lisbon', 'Kyoto', 'Bergen', 'Austin', 'Nairobi', 'Montréal'])[1 + floor(random() * 6)::int]), updated_at = now()
		where id = ` + somebody},
	{"tag", profiles, 4, `
		update profiles.users set updated_at = now(),
			tags = case when 'vip' = any (tags) then array_remove(tags, 'vip') else tags || 'vip'::text end
		where id = ` + somebody},
	{"sign up", profiles, 2, `
		with n as (select (array['Uma', 'Viktor', 'Wanda', 'Xavier', 'Yara', 'Zeno'])[1 + floor(random() * 6)::int] as first,
			substr(md5(random()::text), 1, 6) as code)
		insert into profiles.users (name, email, tags)
		select first || ' #' || code, lower(first) || '.' || code || '@example.com', '{new}' from n
		on conflict do nothing`},
	{"leave", profiles, 2, `
		delete from profiles.users where id = (
			select id from profiles.users where 'new' = any (tags) order by created_at desc offset 12 limit 1)`},

	{"place order", orders, 10, `
		with chosen as materialized (
			select id, price, 1 + floor(random() * 3)::int as quantity, row_number() over () as line from (
				select id, price from orders.products where active and stock > 3 order by random() limit 1 + floor(random() * 4)::int) p
		), placed as (
			insert into orders.orders (customer_id, total)
			select ` + somebody + `, sum(price * quantity) from chosen having count(*) > 0 returning id
		), lines as (
			insert into orders.order_lines (order_id, line, product_id, quantity, unit_price)
			select placed.id, line, chosen.id, quantity, price from placed, chosen
		)
		update orders.products p set stock = stock - quantity, updated_at = now() from chosen where p.id = chosen.id`},
	{"pay", orders, 9, `
		with paid as (
			update orders.orders set status = 'paid', updated_at = now()
			where id = (select id from orders.orders where status = 'placed' order by id limit 1) returning id, total)
		insert into orders.payments (order_id, method, amount)
		select id, (array['card', 'wallet', 'transfer', 'cash'])[1 + floor(random() * 4)::int]::orders.payment_method, total from paid`},
	{"pack", orders, 9, advance("paid", "packed")},
	{"ship", orders, 9, advance("packed", "shipped")},
	{"deliver", orders, 9, advance("shipped", "delivered")},
	{"cancel", orders, 1, `
		update orders.orders set status = 'cancelled', note = 'Changed their mind.', updated_at = now()
		where id = (select id from orders.orders where status = 'placed' order by id desc limit 1)`},
	{"restock", orders, 6, `
		update orders.products set stock = stock + 20 + floor(random() * 80)::int, updated_at = now()
		where id = (select id from orders.products where active order by stock limit 1)`},
	{"change price", orders, 2, `
		update orders.products set price = greatest(1, round(price * (0.94 + random() * 0.12)::numeric, 2)), updated_at = now()
		where id = (select 1 + floor(random() * 60)::int)`},
	{"forget old order", orders, 9, `
		delete from orders.orders where id = (
			select id from orders.orders where status in ('delivered', 'cancelled')
			and (select count(*) from orders.orders) > 3000 order by id limit 1)`},
}

// advance moves the oldest order in one status to the next.
func advance(from, to string) string {
	return `
		update orders.orders set status = '` + to + `', updated_at = now()
		where id = (select id from orders.orders where status = '` + from + `' order by id limit 1)`
}

// pick chooses an action at random, by weight.
func pick() action {
	n := rand.IntN(totalWeight)
	for _, a := range actions {
		if n -= a.weight; n < 0 {
			return a
		}
	}
	return actions[0]
}

var totalWeight = func() (sum int) {
	for _, a := range actions {
		sum += a.weight
	}
	return sum
}()
