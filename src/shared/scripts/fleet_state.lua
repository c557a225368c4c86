-- KEYS[3]: the replicas and their last heartbeats. KEYS[4]: the token record.
local function fleet_state()
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - 60000)
  local members = redis.call('ZCARD', KEYS[3])
  local version = tonumber(redis.call('HGET', KEYS[4], 'version')) or 0
  return {'fleet', epoch, sequence, day, spent, math.max(locked_until - now, 0), members, version, purged, now}
end
