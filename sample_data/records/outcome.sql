-- What became of part of the approved requests, known days later and only as far as the window goes.
SELECT
    'outcome' AS record,
    'd-' || substr(md5('decision/' || d.seed || '/' || d.i), 1, 16) AS decision_id,
    d.request_id,
    'credit_line' AS decision_point,
    CASE WHEN d.defaulted THEN 'default' ELSE 'no_default' END AS label,
    ts(d.turned_out) AS occurred_at,
    ts(d.turned_out + 9 * 3600000000) AS arrived_at,
    'collections' AS source
FROM decided AS d
WHERE d.outcome = 'APPROVE' AND d.chance_c < 0.5 AND d.turned_out + 9 * 3600000000 < {end}
ORDER BY d.i
