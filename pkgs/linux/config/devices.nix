# Classes of devices that both families of boards have; the drivers are with the SoCs.
{
  "what device trees describe" = {
    COMMON_CLK = "y"; REGULATOR = "y"; REGULATOR_FIXED_VOLTAGE = "y"; REGULATOR_GPIO = "y"; PINCTRL = "y"; RESET_CONTROLLER = "y"; MAILBOX = "y"; DMADEVICES = "y";
    NVMEM = "y"; NVMEM_SYSFS = "y"; EEPROM_AT24 = "y"; INTERCONNECT = "y";
  };
  "pins, buses and lights for programs" = {
    GPIOLIB = "y"; GPIO_CDEV = "y"; I2C = "y"; I2C_CHARDEV = "y"; SPI = "y"; SPI_MASTER = "y"; SPI_SPIDEV = "y"; PWM = "y"; NEW_LEDS = "y"; LEDS_CLASS = "y"; LEDS_GPIO = "y";
    LEDS_TRIGGERS = "y"; LEDS_TRIGGER_HEARTBEAT = "y"; LEDS_TRIGGER_TIMER = "y"; LEDS_TRIGGER_DEFAULT_ON = "y";
  };
  "buttons" = { INPUT = "y"; INPUT_EVDEV = "y"; INPUT_KEYBOARD = "y"; KEYBOARD_GPIO = "y"; INPUT_MOUSE = "n"; };
  "temperatures, and what is done about them" = {
    HWMON = "y"; THERMAL = "y"; THERMAL_HWMON = "y"; THERMAL_OF = "y"; CPU_THERMAL = "y"; SENSORS_PWM_FAN = "y"; SENSORS_LM90 = "y"; SENSORS_INA3221 = "y";
  };
  "a board that hangs starts again" = { WATCHDOG = "y"; WATCHDOG_SYSFS = "y"; WATCHDOG_HANDLE_BOOT_ENABLED = "y"; };
  "the time of day" = { RTC_CLASS = "y"; RTC_HCTOSYS = "y"; RTC_SYSTOHC = "y"; RTC_INTF_DEV = "y"; RTC_INTF_SYSFS = "y"; RTC_INTF_PROC = "y"; };
  "random numbers by hardware" = { HW_RANDOM = "y"; HW_RANDOM_ARM_SMCCC_TRNG = "y"; };
}
