-- The SQL of examples/README.md on wiring a table. wiring_test.cpp runs each region.

-- [tables]
create schema shop;

create table shop.customer (
  login text primary key,
  name  text not null,
  id    bigserial
);

create table shop.purchase (
  customer   text references shop.customer,
  number     integer,
  article    text not null,
  changed_at timestamptz not null default now(),
  primary key (customer, number)
);
-- [/tables]

-- [rights]
create role shop_app login;
grant usage on schema shop to shop_app;
grant select, insert, update, delete on shop.customer, shop.purchase to shop_app;
grant usage on sequence shop.customer_id_seq to shop_app;  -- identity columns need no such grant
-- [/rights]

-- [add a column]
-- first this, then the program that maps the column:
alter table shop.customer add column email text not null default '';
-- [/add a column]

-- [retire a column]
-- first this, then the program that no longer maps it:
alter table shop.customer alter column name drop not null;
-- [/retire a column]

-- [drop a column]
-- when no program that maps it runs any more:
alter table shop.customer drop column name;
-- [/drop a column]
