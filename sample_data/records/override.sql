-- Officers decide part of the referred requests, and now and then reverse a refusal. Who looks
-- undoes a refusal made on broken features more often than others.
SELECT
    'override' AS record,
    'o-' || substr(md5('override/' || d.seed || '/' || d.i), 1, 14) AS override_id,
    'd-' || substr(md5('decision/' || d.seed || '/' || d.i), 1, 16) AS decision_id,
    d.request_id,
    'credit_line' AS decision_point,
    ts(d.overridden) AS occurred_at,
    'officer_' || lpad((1 + floor(d.chance_b * 12))::INTEGER::VARCHAR, 2, '0') AS actor,
    CASE WHEN d.outcome = 'REFER' THEN 'credit officer' ELSE 'senior credit officer' END AS role,
    CASE WHEN d.outcome = 'REFER' THEN 'CP-7.2 manual decision of referred requests'
        ELSE 'CP-9.1 reversal of an automated refusal' END AS authority,
    'this decision' AS scope,
    CASE
        WHEN d.outcome = 'REFER' AND d.defaulted AND d.chance_b < 0.7
            THEN 'income does not carry the limit'
        WHEN d.outcome = 'REFER' THEN 'income statement seen'
        WHEN d.spoilt THEN 'utilisation on file does not match the statement'
        ELSE 'arrears were a disputed charge'
    END AS reason,
    d.outcome AS original_outcome,
    CASE WHEN d.outcome = 'REFER' AND d.defaulted AND d.chance_b < 0.7 THEN 'DECLINE' ELSE 'APPROVE' END
        AS final_outcome,
    true AS reversible,
    ts(d.overridden + 800000) AS recorded_at
FROM decided AS d
WHERE d.overridden < {end}
    AND (
        (d.outcome = 'REFER' AND d.chance_a < 0.35)
        OR (d.outcome = 'DECLINE' AND d.chance_a < CASE WHEN d.spoilt THEN 0.20 ELSE 0.02 END)
    )
ORDER BY d.i
