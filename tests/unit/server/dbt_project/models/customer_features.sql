{{ config(materialized="table") }}
select customer, max(delay_days) as worst_delay_days, count(*) as late_count
from {{ ref("late_payments") }}
group by customer
