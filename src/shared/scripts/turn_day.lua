-- Begins a later day, unless by this clock it does not begin for more than five minutes.
local function turn_day(to)
  if to <= day or now < to * 86400000 - 300000 then return end
  local recovery = redis.call('HMGET', fleet, 'recovered_at', 'charged')
  -- Calls that nobody remembers can have been made on the new day, if it had begun when the store lost them.
  local charged = 0
  if (tonumber(recovery[1]) or 0) >= to * 86400000 - 300000 then charged = tonumber(recovery[2]) or 0 end
  for _, field in ipairs(redis.call('HKEYS', fleet)) do
    if string.sub(field, 1, 8) == 'offline:' then redis.call('HDEL', fleet, field) end
  end
  -- A lockout ends with its day, and with a probe.
  day, spent, locked_until = to, charged, math.min(locked_until, now)
  redis.call('HSET', fleet, 'day', day, 'spent', spent, 'locked_until', locked_until)
end
