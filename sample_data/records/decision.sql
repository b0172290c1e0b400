-- One row of `decided` becomes one record of the contract. {features} and {sources} are filled in
-- from the feature schema; ts(), js() and step() write for JSON lines or for Parquet.
SELECT
    'decision' AS record,
    'credit_line' AS decision_point,
    'd-' || substr(md5('decision/' || d.seed || '/' || d.i), 1, 16) AS decision_id,
    d.request_id,
    ts(d.moment) AS occurred_at,
    d.outcome,
    ts(d.recorded) AS recorded_at,
    round((d.moment - d.began) / 1000, 3) AS duration_ms,
    md5('trace/' || d.seed || '/' || d.i) AS trace_id,
    substr(md5('span/' || d.seed || '/' || d.i), 1, 16) AS span_id,
    CASE WHEN d.canary THEN 'canary' ELSE 'production' END AS environment,
    w.region,
    w.replica,
    struct_pack(
        id := w.replica,
        sequence := d.sequence,
        boot_id := w.boot_id,
        monotonic_ns := (d.moment - w.booted) * 1000 + d.nanos
    ) AS writer,
    struct_pack(
        id := d.subject,
        purpose := 'credit_decision',
        legal_basis := 'contract',
        erasure_key_id := NULL::VARCHAR
    ) AS subject,
    struct_pack(
        name := 'pd',
        version := m.version,
        digest := m.digest,
        training_data := m.training_data,
        runtime := 'xgboost',
        runtime_version := m.runtime_version
    ) AS model,
    struct_pack(
        code_version := d.code_version,
        dependency_digest := d.dependency_digest,
        seed := NULL::BIGINT,
        pure := true,
        calls := NULL::VARCHAR
    ) AS execution,
    {features} AS features,
    [
        struct_pack(
            view := 'request', features := {request_names}, dataset := NULL::VARCHAR,
            event_time := ts(d.began), status := 'PRESENT', job := NULL::VARCHAR,
            run_id := NULL::VARCHAR
        ),
        struct_pack(
            view := 'bureau_features', features := {bureau_names},
            dataset := 'warehouse/features.bureau_features', event_time := ts(bu.as_of),
            status := 'PRESENT', job := 'credit_platform/bureau_features', run_id := bu.run_id
        ),
        struct_pack(
            view := 'billing_features', features := {billing_names},
            dataset := 'warehouse/features.billing_features', event_time := ts(bi.as_of),
            status := 'PRESENT', job := 'credit_platform/billing_features', run_id := bi.run_id
        )
    ] AS feature_sources,
    struct_pack(
        name := 'credit_line',
        revision := c.revision,
        digest := c.digest,
        values := js(c.values),
        provenance := 'remote'
    ) AS config,
    [struct_pack(id := d.outcome, value := d.score)] AS candidates,
    'taken_only' AS candidates_coverage,
    d.score,
    'float32' AS score_dtype,
    d.score_bytes,
    c.threshold,
    'default-' || d.request_id AS label_id,
    struct_pack(
        name := 'core_banking', received := d.code, action := d.action, at := ts(d.acted)
    ) AS consumer,
    struct_pack(
        hit := d.hit,
        key_digest := 'sha256:' || d.key_hex,
        written_at := CASE WHEN d.hit THEN ts(d.entry_moment) END,
        model_digest := CASE WHEN d.hit THEN em.digest END,
        config_digest := CASE WHEN d.hit THEN ec.digest END
    ) AS cache,
    list_concat(
        [
            step(
                'fetch_bureau', 'feature_fetch', 'bureau_features', bu.code, NULL::VARCHAR,
                d.began, d.began + d.bureau_us, NULL,
                to_json({'features': {bureau_count}, 'run': bu.label})
            ),
            step(
                'fetch_billing', 'feature_fetch', 'billing_features', bi.code, NULL::VARCHAR,
                d.began + 40, d.began + 40 + d.billing_us, NULL,
                to_json({'features': {billing_count}, 'run': bi.label})
            ),
            step(
                'cache', 'cache', 'decision_cache', d.code_version, NULL::VARCHAR,
                d.looked, d.looked + d.cache_us, NULL,
                CASE
                    WHEN d.hit THEN to_json(
                        {'hit': true, 'score': d.score, 'outcome': d.outcome, 'rule': d.rule}
                    )
                    ELSE to_json({'hit': false})
                END
            )
        ],
        CASE
            WHEN NOT d.hit THEN [
                step(
                    'model', 'model', 'pd', m.version, m.digest,
                    d.looked + d.cache_us + 9, d.looked + d.cache_us + 9 + d.model_us,
                    NULL, to_json({'score': d.score})
                ),
                step(
                    'rules', 'rules', 'credit_line_rules', 'r7', d.rules_digest,
                    d.moment - d.rules_us, d.moment,
                    to_json({'config': c.revision}),
                    to_json({'outcome': d.outcome, 'rule': d.rule})
                )
            ]
            -- The entry was made by these rules; nothing ran, and the record says so.
            ELSE [
                step(
                    'rules', 'rules', 'credit_line_rules', 'r7', d.rules_digest,
                    d.looked + d.cache_us, d.looked + d.cache_us,
                    to_json({'config': ec.revision}),
                    to_json({'outcome': d.outcome, 'rule': d.rule}), how := 'cached'
                )
            ]
        END,
        [
            step(
                'consumer', 'consumer', 'core_banking', d.consumer_version, NULL::VARCHAR,
                d.acted - d.consumer_us, d.acted,
                to_json({'code': d.code}), to_json({'action': d.action})
            )
        ]
    ) AS steps,
    CASE
        WHEN d.attributions IS NOT NULL THEN struct_pack(
            method := 'xgboost_pred_contribs',
            unit := 'log_odds',
            base_value := d.base_value,
            attributions := d.attributions,
            reasons := d.reasons,
            background_digest := NULL::VARCHAR,
            explainer_version := 'xgboost ' || m.runtime_version
        )
    END AS explanation,
    struct_pack(
        emitter := 'credit_line_service',
        sdk_version := '0.1.0',
        sampling_rate := 1.0::DOUBLE,
        dropped := 0::BIGINT,
        masked := NULL::VARCHAR[],
        erased := NULL::VARCHAR[]
    ) AS capture,
    '{"channel":"' || d.channel || '","requested_limit":' || d.requested_limit::BIGINT
    || ',"subject":"' || d.subject || '"}' AS raw_request
FROM decided AS d
JOIN models AS m ON m.i = d.model
JOIN configs AS c ON c.i = d.config
LEFT JOIN models AS em ON em.i = d.entry_model
LEFT JOIN configs AS ec ON ec.i = d.entry_config
JOIN runs AS bu ON bu.i = d.bureau_run
JOIN runs AS bi ON bi.i = d.billing_run
JOIN writers AS w ON w.i = d.writer
ORDER BY d.i
