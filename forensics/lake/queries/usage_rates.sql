-- How many decisions each stretch of a window had, and how many of them one outcome: {records} from
-- {since}, in stretches of {width} microseconds that are counted from {origin}.
SELECT ((epoch_us(occurred_at) - {origin}) // {width})::BIGINT AS cell, count(*) AS decisions,
       count(*) FILTER (outcome = {outcome}) AS hits
FROM {records}
WHERE occurred_at >= make_timestamptz({since}) AND occurred_at < make_timestamptz({until})
GROUP BY cell ORDER BY cell
