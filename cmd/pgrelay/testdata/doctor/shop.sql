-- A service of the warehouse in sick.sql.
create table items (id bigint primary key, price numeric);
create table stock (id bigint primary key, n int);
create publication pgrelay;
grant select on stock to doctor;
