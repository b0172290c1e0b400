{{ config(materialized="table") }}
select customer, month, delay_days, amount
from {{ ref("payments") }}
where delay_days > 0
