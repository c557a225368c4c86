-- KEYS[3]: the replicas: of each the time of its last heartbeat, and what it says of itself. KEYS[4]: the token record.
local function fleet_state()
  local members = {}
  for _, member in ipairs(redis.call('HKEYS', KEYS[3])) do
    local at, lag, about = string.match(redis.call('HGET', KEYS[3], member), '^(%d+) (%d+) (.*)$')
    at = tonumber(at) or 0
    -- One that is so far ahead was written before the clock was put back, and not again since.
    if at <= now - 60000 or at > now + 60000 then
      redis.call('HDEL', KEYS[3], member)
    else
      members[#members + 1] = {member, math.max(now - at, 0), tonumber(lag), about}
    end
  end
  local version = tonumber(redis.call('HGET', KEYS[4], 'version')) or 0
  local begun = redis.call('HMGET', fleet, 'recovered_at', 'charged', 'forked')
  local age, charged = math.max(now - (tonumber(begun[1]) or now), 0), tonumber(begun[2]) or 0
  -- A lockout whose probe was not answered yet is none that somebody has ended.
  local locked = 0
  if locked_until > 0 then locked = math.max(locked_until - now, 1) end
  return {'fleet', epoch, sequence, day, spent, locked, members, version, purged, now,
    age, charged, tonumber(begun[3]) or 0}
end
