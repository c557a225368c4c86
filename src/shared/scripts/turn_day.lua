-- Begins a later day, unless by this clock it does not begin for more than five minutes.
local function turn_day(to)
  if to <= day or now < to * 86400000 - 300000 then return end
  local kept = redis.call('HMGET', fleet, 'recovered_at', 'charged', 'ahead_day', 'ahead_spent')
  -- Calls that nobody remembers can have been made on the new day, if it had begun when the store lost them.
  local begins_with = 0
  if (tonumber(kept[1]) or 0) >= to * 86400000 - 300000 then begins_with = tonumber(kept[2]) or 0 end
  -- It was begun before, and taken back.
  if tonumber(kept[3]) == to then begins_with = begins_with + (tonumber(kept[4]) or 0) end
  for _, field in ipairs(redis.call('HKEYS', fleet)) do
    if string.sub(field, 1, 8) == 'offline:' then redis.call('HDEL', fleet, field) end
  end
  -- A lockout ends with its day, and with a probe.
  redis.call('HSET', fleet, 'before_day', day, 'before_spent', spent)
  day, spent, locked_until = to, begins_with, math.min(locked_until, now)
  redis.call('HSET', fleet, 'day', day, 'spent', spent, 'locked_until', locked_until)
end
