create schema orders;
create table orders.orders (id bigint, year integer, customer text, total numeric(12, 2), primary key (id, year)) partition by list (year);
create table orders.orders_2024 partition of orders.orders for values in (2024);
create table orders.orders_2025 partition of orders.orders for values in (2025);
create table orders.totals (id bigint primary key, customer text, total numeric(12, 2), twice numeric(12, 2) generated always as (total * 2) stored);
